// SPDX-License-Identifier: MIT
/*
 * A driver for the DMA engine that does one thing: opening /dev/sva binds the caller's address space to the device,
 * reading gives the PASID, closing unbinds. The caller drives the device's registers itself, through sysfs.
 */
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/uaccess.h>

static struct pci_dev *engine;

static int sva_open(struct inode *inode, struct file *file)
{
	struct iommu_sva *handle = iommu_sva_bind_device(&engine->dev, current->mm);

	if (IS_ERR(handle)) {
		dev_err(&engine->dev, "bind: %ld\n", PTR_ERR(handle));
		return PTR_ERR(handle);
	}
	file->private_data = handle;
	return 0;
}

static int sva_release(struct inode *inode, struct file *file)
{
	iommu_sva_unbind_device(file->private_data);
	return 0;
}

static ssize_t sva_read(struct file *file, char __user *to, size_t count, loff_t *at)
{
	u32 pasid = iommu_sva_get_pasid(file->private_data);

	if (count < sizeof(pasid))
		return -EINVAL;
	return copy_to_user(to, &pasid, sizeof(pasid)) ? -EFAULT : sizeof(pasid);
}

static const struct file_operations sva_operations = {
	.owner = THIS_MODULE,
	.open = sva_open,
	.release = sva_release,
	.read = sva_read,
};

static struct miscdevice sva_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "sva",
	.fops = &sva_operations,
};

static int engine_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int error = pcim_enable_device(pdev);

	if (error)
		return error;
	pci_set_master(pdev);
	engine = pdev;
	return misc_register(&sva_device);
}

static void engine_remove(struct pci_dev *pdev)
{
	misc_deregister(&sva_device);
}

static const struct pci_device_id engine_ids[] = { { PCI_DEVICE(0x1234, 0xd3a2) }, {} };

static struct pci_driver engine_driver = {
	.name = "sva",
	.id_table = engine_ids,
	.probe = engine_probe,
	.remove = engine_remove,
};
module_pci_driver(engine_driver);

MODULE_DESCRIPTION("Binds address spaces to the DMA engine");
MODULE_LICENSE("Dual MIT/GPL");
